"""An independent model of the Repository, its operators and the merge rule, held against the client."""
