"""The search: what each trial is for, what need not be trained, who asks and tells."""
