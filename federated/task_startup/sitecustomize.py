"""Python runs this before a task of a local run, whose search path begins with this folder.

Ctrl-C reaches a run and its task alike: the run ends the task and says how to go on, and the task, which may be in the
middle of its imports, has nothing to add.
"""

import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)
