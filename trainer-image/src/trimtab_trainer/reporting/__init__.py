"""Where a run tells what it does: events and the HTML report."""
