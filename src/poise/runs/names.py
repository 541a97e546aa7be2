"""Short memorable names."""

from hashlib import blake2b

__all__ = ["memorable"]

_FIRST = """
    amber ample azure brave brisk broad calm clear cobalt coral crisp deft dusky eager early fair fleet fond free
    frank gentle glad golden grand green hardy hazel honest ivory jade jolly keen kind level light lively lucid
    lunar mellow merry mild neat noble olive opal pale plain prime proud quick quiet rapid ready royal ruby sandy
    sharp silent silver sober solar sound stable steady still stout subtle sunny swift tidy topaz true vivid warm
    wise young
""".split()
_SECOND = """
    acorn alder arch aspen badger bay beacon bear birch bison bridge brook canyon cedar cliff cloud comet condor
    crane creek delta dove dune eagle elk elm falcon fern finch fjord fox garnet glade grove gull harbor hare hawk
    heath heron hill ibis island ivy jay juniper kestrel lagoon lake lark laurel linden lynx maple marten meadow
    moon moss oak orchid osprey otter owl peak pebble pine plover pond poplar puffin quail raven reef ridge river
    robin rowan sage seal shore sparrow spruce star stone stork swan tern thistle thrush tulip valley vole willow
    wren
""".split()


def memorable(identity: str, attempt: int = 0) -> str:
    """Two words that follow from ``identity``: the same settings get the same name.

    Args:
        identity: any text.
        attempt: 0 for the first choice; a higher one where the name is taken by something else.
    """
    number = int.from_bytes(blake2b(f"{identity}\0{attempt}".encode(), digest_size=8).digest(), "big")
    number, first = divmod(number, len(_FIRST))
    return f"{_FIRST[first]}-{_SECOND[number % len(_SECOND)]}"
