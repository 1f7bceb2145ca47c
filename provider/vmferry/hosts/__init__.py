# SPDX-License-Identifier: Apache-2.0
"""Where jobs run: this machine, or one that is reached over SSH and has nothing but python3.

`host` has the promises, `local` and `ssh` keep them; `waiting` waits for a job through outages; `zipapp` packs the
engine into the one file that is shipped.
"""
