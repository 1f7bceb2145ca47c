# SPDX-License-Identifier: Apache-2.0
"""Images that somebody else made: say what they are, refuse those that could make us read other files."""
