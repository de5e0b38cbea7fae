"""Explanations of answers: what they rest on, whether they agree with the clip, and one clip's page."""
