# SPDX-License-Identifier: Apache-2.0
"""An uploaded image becomes a volume: the steps of an import into OCI, each of which may be run again.

`wishes` reads what people wrote at the object, `plan` settles it with the policy's rule, `ground` finds or makes the
worker, the volume and the attachment, `guest` logs in to the worker, `jobs` says what the engine does there, `running`
starts that, `ending` gives back. `whole` does all of it in one process.
What goes from one step to the next is plain JSON without secrets.
"""

from __future__ import annotations
