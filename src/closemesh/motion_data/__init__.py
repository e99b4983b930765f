"""Motion of other people's making: which files there are, and which of them nothing may be learned from."""
