"""Networks by name or from user code, what comes before them, and the task that scores them."""
