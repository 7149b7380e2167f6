"""Lookups: parse identities, check lists of subjects, bundle certificates, resolve answers of devices."""
