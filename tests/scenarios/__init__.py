"""Tests of whole scenarios: a repository, a mirror and an operator over weeks."""
