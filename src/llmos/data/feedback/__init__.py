"""Feedback on answers: ratings, corrections and votes, encrypted; and the rows of datasets that they become."""
