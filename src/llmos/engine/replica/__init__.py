"""An engine in a process of its own, and the messages it exchanges with its parent."""
