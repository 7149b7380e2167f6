"""The web service on a mirror, without a framework. Needs the extra ``smki-sync[serve]`` only to listen."""
