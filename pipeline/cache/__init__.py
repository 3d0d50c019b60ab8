"""The content-addressed cache: blobs under their own digest, receipts under the digest of what they were made from.

``receipt`` is what an entry says about itself, ``store`` the protocol of a place that keeps bytes, ``local`` such a
place in a folder (``staging`` writes it, ``reading`` reads it), ``content`` what the stages use (``answers`` are what
it says, ``neighbours`` knows what changed, ``guard`` when a failing store is left alone), and ``entries``,
``statistics``, ``explaining``, ``verifying`` and ``pruning`` what the ``cache`` command uses.
"""
