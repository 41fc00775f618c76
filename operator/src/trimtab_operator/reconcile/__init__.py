"""What to do about a job, and what to say of it. Pure: observations in, plans and status out."""
