"""Whether a certificate is genuine: keys, profiles, chains up to a trust anchor, at a given time.

For: rules alone. Certificates, anchors and the time come in as values, findings go out. Refuses: to
read the clock, a disk or a mirror, and to stop at the first defect.

* :mod:`.findings` the steps, and a code for each defect
* :mod:`.keys` public keys and signatures
* :mod:`.profiles` what the profiles ask of a certificate by itself
* :mod:`.anchors` trust anchors out of files
* :mod:`.authorities` who may have issued what, and the way from there to an anchor
* :mod:`.chain` one certificate, all steps
"""
