"""Carries out what the plan says, one API call per action. Decides nothing."""
