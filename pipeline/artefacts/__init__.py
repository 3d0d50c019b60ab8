"""Everything that takes long, obtained in one way: fetched where the cache has it, else made in a child and kept.

``recipe`` has the values: what an artefact is, and how one is made. ``entries`` reads and writes them as entries of the
cache, ``maker`` makes one here, ``shared_maker`` agrees with other runners who makes it, and ``workshop`` is what the
stages use: each artefact once per run. ``gpu_time`` adds up what GPUs were held for.
"""
