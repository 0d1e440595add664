"""Containers are returned with their class, with clipped arrays wherever the original has its own."""

import dataclasses
import functools
import gc
import io
import types
import weakref
from collections import ChainMap, OrderedDict, UserDict, UserList, defaultdict, deque, namedtuple
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest
from arrays import assert_same_bits, content

import numclip


def three():
    return np.array([3.0, 0.0], np.float32)


def four():
    return np.array([[4.0]], np.float32)


class AttrDict(dict):
    """Its attributes are its items."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.__dict__ = self


class TwofoldDict(OrderedDict):
    """Keeps items as attributes too, like the outputs of models in transformers."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for key, value in self.items():
            self.__dict__[key] = value

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        self.__dict__[key] = value

    def update(self, *args, **kwargs):
        raise TypeError("update is not for outputs")


class TrackedDict(dict):
    """Reports items to a tracker, like containers of Keras."""

    def __init__(self, values=None, tracker=None):
        self.tracker = tracker
        super().__init__(values or {})

    def __setitem__(self, key, value):
        self.tracker.append(value)
        super().__setitem__(key, value)

    def update(self, mapping):
        for key, value in mapping.items():
            self[key] = value


class OneForAll(dict):
    def __copy__(self):
        return self

    def copy(self):
        return self

    def __reduce_ex__(self, protocol):
        raise TypeError("it cannot be pickled")


class WithMethodsAsKeys(AttrDict):
    pass


class NamedList(list):
    def __init__(self, name, *values):
        super().__init__(values)
        self.name, self.first = name, values[0]


class NamedTuple2(tuple):
    def __new__(cls, name, *values):
        new = super().__new__(cls, values)
        new.name = name
        return new


class Point(NamedTuple):
    weight: Any
    bias: Any


class SubPoint(namedtuple("SubPoint", ["weight", "bias"])):
    def __new__(cls, both):
        return super().__new__(cls, *both)


class OwnMapping(Mapping):
    __slots__ = ("__values",)

    def __init__(self, values):
        self.__values = values

    def __getitem__(self, key):
        return self.__values[key]

    def __iter__(self):
        return iter(self.__values)

    def __len__(self):
        return len(self.__values)


class Frozen(OwnMapping):
    """Returns nested dicts as mappings of its class, made anew at each access."""

    def __getitem__(self, key):
        value = super().__getitem__(key)
        return Frozen(value) if isinstance(value, dict) else value

    def __setattr__(self, name, value):
        if name != "_OwnMapping__values":
            raise AttributeError("it is frozen")
        object.__setattr__(self, name, value)


class Config:
    """Has the methods of a mapping, and is none."""

    def __init__(self, **values):
        object.__setattr__(self, "_fields", values)
        object.__setattr__(self, "_locked", True)

    def __getattr__(self, name):
        try:
            return self._fields[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name, value):
        raise AttributeError("it is locked")

    def __getitem__(self, key):
        return self._fields[key]

    def __len__(self):
        return len(self._fields)

    def keys(self):
        return list(self._fields)

    def values(self):
        return list(self._fields.values())

    def items(self):
        return list(self._fields.items())


@dataclasses.dataclass
class Layer:
    weight: Any
    bias: Any
    name: str = dataclasses.field(default="dense", metadata={"static": True})
    units: int = dataclasses.field(default=2, metadata={"pytree_node": False})


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    weight: Any
    bias: Any
    scale: dataclasses.InitVar[float] = 1.0
    unset: Any = dataclasses.field(init=False)

    def __post_init__(self, scale):
        if not isinstance(self.weight, np.ndarray):
            raise TypeError("the weight is an array")


@dataclasses.dataclass
class Caching:
    weight: Any
    bias: Any
    calls: Any = dataclasses.field(init=False, default=None)

    def __post_init__(self):
        self.alias = self.weight
        self.both = {"weights": [self.weight], "note": "kept"}

    @functools.cached_property
    def flat(self):
        return np.concatenate([self.weight.ravel(), self.bias.ravel()])


def pair():
    return {"weight": three(), "bias": four()}


def caching():
    made = Caching(three(), four())
    assert made.flat[0] == 3  # the property is cached from now on
    return made


def ordered_with_an_attribute():
    made = OrderedDict(pair())
    made.first = made["weight"]
    return made


CONTAINERS = {
    "OrderedDict": lambda: OrderedDict(pair()),
    "OrderedDict with an attribute": ordered_with_an_attribute,
    "defaultdict": lambda: defaultdict(list, pair()),
    "UserDict": lambda: UserDict(pair()),
    "ChainMap": lambda: ChainMap({"weight": three()}, {"bias": four()}),
    "MappingProxyType": lambda: types.MappingProxyType(OrderedDict(pair())),
    "attribute dict": lambda: AttrDict(weight=three(), bias=AttrDict(x=four())),
    "keys like methods": lambda: WithMethodsAsKeys(items=three(), keys=four(), values=None, get=None),
    "twofold dict": lambda: TwofoldDict(weight=three(), hidden=(four(),)),
    "tracked dict": lambda: TrackedDict(pair(), tracker=[]),
    "dict that is its copy": lambda: OneForAll(pair()),
    "own mapping": lambda: OwnMapping(pair()),
    "frozen mapping": lambda: Frozen({"layer": {"weight": three()}, "bias": four()}),
    "config": lambda: Config(weight=three(), inner=Config(bias=four())),
    "list with another constructor": lambda: NamedList("layer", three(), four()),
    "tuple with another constructor": lambda: NamedTuple2("layer", three(), four()),
    "UserList": lambda: UserList([three(), four()]),
    "deque": lambda: deque([three(), four()], maxlen=3),
    "NamedTuple": lambda: Point(three(), four()),
    "namedtuple with another constructor": lambda: SubPoint([three(), four()]),
    "dataclass": lambda: Layer(three(), four()),
    "frozen dataclass with slots": lambda: Slotted(three(), four()),
    "dataclass that caches": caching,
}


def arrays_in(value, seen=None):
    """Every array that can be reached from an object."""
    seen = {} if seen is None else seen
    if id(value) in seen or isinstance(value, type | types.ModuleType | types.FunctionType):
        return []
    seen[id(value)] = value
    if isinstance(value, np.ndarray):
        return [value]
    return [array for part in gc.get_referents(value) for array in arrays_in(part, seen)]


@pytest.mark.parametrize("case", CONTAINERS)
def test_a_container_holds_the_clipped_arrays_alone(case):
    tree = CONTAINERS[case]()
    before = [content(array) for array in arrays_in(tree)]
    clipped, norm = numclip.tree.clip_by_global_norm({"layer": tree}, 2.5)
    clipped = clipped["layer"]
    assert norm == 5
    assert type(clipped) is type(tree)
    found = arrays_in(clipped)
    assert sorted({array.flat[0] for array in found}) == [1.5, 2]
    assert [content(array) for array in arrays_in(tree)] == before
    assert not any(np.may_share_memory(a, b) for a in found for b in arrays_in(tree))
    assert numclip.tree.global_norm(clipped) == 2.5


@pytest.mark.parametrize("case", CONTAINERS)
def test_a_container_is_clipped_in_place(case):
    tree = CONTAINERS[case]()
    assert numclip.tree.clip_by_global_norm(tree, 2.5, out=tree)[0] is tree
    assert numclip.tree.global_norm(tree) == 2.5


@pytest.mark.parametrize("case", CONTAINERS)
def test_a_container_is_a_target(case):
    tree, out = CONTAINERS[case](), CONTAINERS[case]()
    assert numclip.tree.clip_by_global_norm(tree, 2.5, out=out)[0] is out
    assert (numclip.tree.global_norm(tree), numclip.tree.global_norm(out)) == (5, 2.5)


def test_every_way_to_an_array_leads_to_the_clipped_one():
    clipped, _ = numclip.tree.clip_by_global_norm(CONTAINERS["attribute dict"](), 2.5)
    assert clipped.weight is clipped["weight"]
    clipped.weight = None
    assert clipped["weight"] is None
    clipped, _ = numclip.tree.clip_by_global_norm(CONTAINERS["twofold dict"](), 2.5)
    assert clipped.weight is clipped["weight"]
    assert clipped.hidden is clipped["hidden"]
    assert list(clipped) == ["weight", "hidden"]
    clipped, _ = numclip.tree.clip_by_global_norm(CONTAINERS["list with another constructor"](), 2.5)
    assert clipped.first is clipped[0]
    clipped, _ = numclip.tree.clip_by_global_norm(CONTAINERS["dataclass that caches"](), 2.5)
    assert clipped.alias is clipped.weight
    assert clipped.both["weights"] == [clipped.weight]
    assert_same_bits(clipped.flat, np.array([1.5, 0, 2], np.float32))


def test_what_is_no_array_comes_along():
    clip = numclip.tree.clip_by_global_norm
    assert clip(CONTAINERS["defaultdict"](), 2.5)[0]["new"] == []
    assert clip(CONTAINERS["deque"](), 2.5)[0].maxlen == 3
    assert clip(CONTAINERS["list with another constructor"](), 2.5)[0].name == "layer"
    assert clip(CONTAINERS["tuple with another constructor"](), 2.5)[0].name == "layer"
    assert clip(CONTAINERS["dataclass that caches"](), 2.5)[0].both["note"] == "kept"
    assert clip(CONTAINERS["config"](), 2.5)[0]._locked is True
    layer = clip(Layer(three(), four(), "first", 3), 2.5)[0]
    assert (layer.name, layer.units) == ("first", 3)


def test_a_tracker_hears_nothing_of_a_copy():
    tracker = []
    numclip.tree.clip_by_global_norm(TrackedDict(pair(), tracker), 2.5)
    assert tracker == []


def test_an_array_deeper_down_that_an_attribute_has_too():
    tree = AttrDict(layer={"weight": three(), "bias": four()})
    holder = NamedList("model", tree, None)
    holder.weight = tree["layer"]["weight"]
    clipped, _ = numclip.tree.clip_by_global_norm(holder, 2.5)
    assert clipped.weight is clipped[0].layer["weight"]


def test_a_container_that_refers_to_itself():
    tree = NamedList("layer", three(), four())
    tree.me = tree
    clipped, _ = numclip.tree.clip_by_global_norm(tree, 2.5)
    assert clipped.me is clipped


def test_a_dataclass_with_code_of_its_own_is_looked_at():
    """Each way to keep an array elsewhere, or to return another one, by which a class is not simple."""

    @dataclasses.dataclass
    class Plain:
        weight: Any

    class Lookup(Plain):
        def __getitem__(self, key):
            return self.kept

    class Property(Plain):
        @property
        def weight(self):
            return self.kept * 1

        @weight.setter
        def weight(self, value):
            self.kept = value

    lookup = Lookup(three())
    lookup.kept = lookup.weight
    clipped, _ = numclip.tree.clip_by_global_norm([Plain(three()), lookup], 1.0)
    assert clipped[1][0] is clipped[1].kept is clipped[1].weight
    with pytest.raises(TypeError, match=r"^tree\[0\] cannot be copied .*Property"):
        numclip.tree.clip_by_global_norm([Property(three())], 1.0)
    more = Plain(three())
    more.alias = more.weight
    clipped, _ = numclip.tree.clip_by_global_norm([Plain(three()), more], 1.0)
    assert clipped[1].alias is clipped[1].weight


def test_a_class_of_entries_is_not_kept_alive():
    @dataclasses.dataclass
    class Local:
        weight: Any

    numclip.tree.clip_by_global_norm([Local(three())], 1.0)
    reference = weakref.ref(Local)
    del Local
    gc.collect()
    assert reference() is None


def test_a_child_that_refers_to_its_parent():
    parent = NamedList("model", three(), NamedList("layer", four()))
    parent[1].parent = parent
    clipped, _ = numclip.tree.clip_by_global_norm(parent, 2.5)
    assert clipped[1].parent is clipped
    assert clipped[1].parent[1] is clipped[1]
    assert parent[1].parent is parent


def test_a_container_at_two_places():
    shared = NamedList("layer", three())
    clipped, norm = numclip.tree.clip_by_global_norm([shared, shared], 1.0)
    assert norm == np.float32(np.sqrt(18))
    assert_same_bits(clipped[0][0], clipped[1][0])
    assert clipped[0].first is clipped[0][0]
    assert clipped[1].first is clipped[1][0]


# --- what is refused ----------------------------------------------------------------------------------------


class WithFlatBuffer(dict):
    """Its arrays are views of one that it keeps."""

    def __init__(self):
        self.buffer = np.array([3.0, 0.0, 4.0], np.float32)
        super().__init__(weight=self.buffer[:2], bias=self.buffer[2:])


class WithView(dict):
    def __init__(self, *args):
        super().__init__(*args)
        self.all = self.values()


class Holder:
    def __init__(self, weight):
        self.weight = weight


class WithHolder(dict):
    def __init__(self, *args):
        super().__init__(*args)
        self.holder = Holder(self["weight"])


class ClosesAtTheEnd(dict):
    def __del__(self):
        pass


class Copying(OwnMapping):
    """Returns a copy of an array at each access."""

    def __getitem__(self, key):
        return super().__getitem__(key).copy()


class Doubling(list):
    """Returns other elements by subscript than by iteration, so that no copy can have both."""

    def __iter__(self):
        return (element * 2 for element in super().__iter__())


class WithLookup(list):
    """Finds its arrays in a table of the class, by their numbers."""

    TABLE = (three(), four())

    def __iter__(self):
        return iter(self.TABLE)

    def __len__(self):
        return 2


def shadowed():
    return ChainMap({"weight": three(), "bias": four()}, {"bias": four() * 2})


COPIED_BY_NONE = {
    "views of a buffer": (WithFlatBuffer, "it holds a view of one of its arrays"),
    "a view of its values": (lambda: WithView(pair()), "it holds its arrays in a dict_values too"),
    "another object": (lambda: WithHolder(pair()), "it holds its arrays in a Holder too"),
    "a finaliser": (lambda: ClosesAtTheEnd(pair()), "a copy would release what the original holds"),
    "shadowed": (shadowed, "it holds other arrays beside those that it gives"),
    "computed": (lambda: Copying(pair()), "the copy does not give back what it was given"),
    "iterated": (lambda: Doubling([three(), four()]), "the copy does not give back what it was given"),
    "from elsewhere": (lambda: WithLookup([1, 2]), "the copy does not give back what it was given"),
}


@pytest.mark.parametrize("case", COPIED_BY_NONE)
def test_a_container_that_cannot_be_copied_is_named(case):
    make, reason = COPIED_BY_NONE[case]
    tree = make()
    before = [content(array) for array in arrays_in(tree)]
    with pytest.raises(TypeError) as caught:
        numclip.tree.clip_by_global_norm({"layer": [tree]}, 1.0)
    message = str(caught.value)
    assert message.startswith("tree['layer'][0]")
    assert f" cannot be copied with other arrays: {reason}. Pass out=tree to clip in place" in message
    assert type(tree).__name__ in message
    assert [content(array) for array in arrays_in(tree)] == before
    assert numclip.tree.global_norm(tree) > 1


IN_PLACE = [case for case in COPIED_BY_NONE if case not in ("computed", "iterated")]


@pytest.mark.parametrize("case", IN_PLACE)
def test_it_is_clipped_in_place(case):
    tree = COPIED_BY_NONE[case][0]()
    _, norm = numclip.tree.clip_by_global_norm(tree, 0.5, out=tree)
    assert norm > 0.5
    np.testing.assert_allclose(numclip.tree.global_norm(tree), 0.5, rtol=1e-6)


def arrays_of_a_file():
    file = io.BytesIO()
    np.savez(file, **pair())
    file.seek(0)
    return np.load(file)


def test_arrays_that_are_made_anew_are_no_targets():
    for tree in (arrays_of_a_file(), Copying(pair()), Doubling([three(), four()])):
        whole = {"layer": tree}
        for out, name in ((whole, "tree"), ({"layer": tree}, "out")):
            with pytest.raises(TypeError) as caught:
                numclip.tree.clip_by_global_norm(whole, 1.0, out=out)
            message = str(caught.value)
            assert message.startswith(f"{name}['layer'] makes its arrays anew at each access")
            assert type(tree).__name__ in message


def test_a_file_of_arrays_is_read():
    with arrays_of_a_file() as file:
        assert numclip.tree.global_norm(file) == 5
        out = {"weight": np.empty_like(three()), "bias": np.empty_like(four())}
        numclip.tree.clip_by_global_norm(file, 2.5, out=out)
        assert_same_bits(out["weight"], three() / 2)
        with pytest.raises(TypeError, match="NpzFile"):
            numclip.tree.clip_by_global_norm(file, 2.5)
        assert_same_bits(file["weight"], three())  # it is still open


@pytest.mark.parametrize(
    "leaf",
    ["abc", b"abc", object(), three, {1, 2}, (x for x in [1.0]), pair().values(), Holder, range(2)],
    ids=lambda leaf: type(leaf).__name__,
)
def test_what_is_no_array_is_named(leaf):
    with pytest.raises(TypeError) as caught:
        numclip.tree.clip_by_global_norm({"layer": Point(three(), leaf)}, 1.0)
    message = str(caught.value)
    assert message.startswith("tree['layer'].bias is no array and no container. Received <class ")
    assert type(leaf).__name__ in message


def test_a_field_that_is_not_static_is_named():
    @dataclasses.dataclass
    class Dense:
        weight: Any
        activation: str

    with pytest.raises(
        TypeError, match=r"^tree\.activation is no array and no container. Received <class 's"
    ):
        numclip.tree.global_norm(Dense(three(), "relu"))


def test_a_message_is_short_whatever_the_tree():
    tree = "abc"
    for depth in range(200):
        tree = {f"layer {depth}" * 1000: tree}
    with pytest.raises(TypeError) as caught:
        numclip.tree.global_norm(tree)
    assert len(str(caught.value)) < 500
    long = {"x" * 100_000: three()}
    with pytest.raises(ValueError, match=r"^out has") as caught:
        numclip.tree.clip_by_global_norm(long, 1.0, out={"y" * 100_000: three()})
    assert len(str(caught.value)) < 500


def test_a_tree_that_contains_itself():
    tree: dict[str, Any] = {"weight": three()}
    tree["me"] = tree
    with pytest.raises(RecursionError, match=r"^tree contains itself, or is nested too deeply$"):
        numclip.tree.global_norm(tree)
