"""What a full of national size costs: `make bench`.

Not tests: nothing here asserts a time. Results, with their date and machine, stand in docs/contributing.md.
"""
