"""Whether a certificate is genuine: keys, profiles, chains up to a trust anchor, at a given time.

For: rules alone. Certificates, lists, anchors and the time come in as values, findings go out. Refuses: to
read the clock, a disk or a mirror, and to stop at the first defect.

* :mod:`.findings` the steps, and a code for each defect
* :mod:`.keys` public keys and signatures
* :mod:`.profiles` what the profiles ask of a certificate by itself
* :mod:`.anchors` trust anchors out of files
* :mod:`.authorities` who may have issued what, and the way from there to an anchor
* :mod:`.chain` one certificate, all steps
* :mod:`.offered` which files beside the extracts are lists and anchor slots
* :mod:`.lists` ARL and CRL: read, checked against an authority, compared with the list in force
* :mod:`.slots` anchor slots: what their files may differ in
"""
