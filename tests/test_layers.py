"""Imports point downwards, and heavy libraries stay where they are needed."""

import ast
from functools import cache
from pathlib import Path

from carrynet import cli

PACKAGE = Path(__file__).parents[1] / "src" / "carrynet"

# From the ground up; a module may import those of the lines above its own, and no others.
LAYERS = [
    "errors watch",
    "files",
    "locks",
    "spec spec.machine",
    "spec.codec",
    "spec.encoding",
    "spec.task spec.rules",
    "spec.builtin",
    "spec.tables",
    "spec.automata",
    "spec.tasks",
    "spec.stage",
    "spec.recipe",
    "data data.rng",
    "data.words",
    "data.balanced",
    "data.drawn",
    "data.regions",
    "nets nets.arrays nets.equations",
    "nets.formula",
    "nets.cells",
    "nets.readings",
    "nets.readings.numbers nets.readings.enclosure",
    "nets.recurrence",
    "nets.weights nets.losses",
    "nets.network",
    "nets.bptt nets.optim",
    "nets.certified",
    "nets.step",
    "nets.invariant nets.joined",
    "exchange exchange.source exchange.pickles exchange.names exchange.formats",
    "exchange.layered",
    "exchange.found exchange.leaving",
    "exchange.chains",
    "exchange.archive exchange.state_dicts exchange.hdf5 exchange.flax",
    "exchange.onnx_nodes",
    "exchange.onnx_path",
    "exchange.onnx exchange.keras",
    "exchange.to_c exchange.to_onnx exchange.to_pytorch exchange.to_keras",
    "exchange.export",
    "exchange.torchscript",
    "exchange.pytorch",
    "exchange.tensors",
    "exchange.mapping exchange.folding exchange.samples",
    "exchange.conventions",
    "exchange.recognise",
    "exchange.modules exchange.live exchange.otherwise",
    "exchange.as_layers exchange.as_mapping",
    "exchange.foreign",
    "engines.vector",
    "engines.kernels.shape engines.kernels.block engines.kernels.optimise engines.kernels.grade",
    "engines.kernels.softmax engines.kernels.enclosed engines.kernels.rooms",
    "engines.kernels.cell engines.kernels.formulas engines.kernels.worst",
    "engines.kernels.formula_bounds",
    "engines.kernels.following engines.kernels.formula_train engines.kernels.over_edges",
    "engines.kernels.closing",
    "engines.kernels.bounds",
    "engines.kernels.train engines.kernels.across engines.kernels.inference engines.kernels.peak",
    "engines.kernels.ellipsoid",
    "engines.kernels.growing",
    "engines.kernels.images engines.kernels.affine",
    "engines.kernels.formula_images",
    "engines.kernels.trees",
    "engines.kernels",
    "engines.reference engines.jit engines.programs",
    "engines.packed",
    "engines.native engines.fused",
    "engines.jax engines.edges",
    "engines",
    "learn.edges learn.cost learn.realised learn.scores",
    "learn.codes learn.mechanism",
    "learn.compile",
    "learn.training",
    "learn learn.bar",
    "judge judge.black_box judge.walkers",
    "judge.work judge.extraction judge.refutation",
    "judge.evaluation",
    "judge.measures",
    "proof proof.model",
    "proof.certificate",
    "proof.balls proof.ellipsoids",
    "proof.verdict proof.boxes proof.affine proof.check_trees proof.check_formula",
    "proof.metric proof.check_affine",
    "proof.tree_model",
    "proof.grown proof.followed",
    "proof.check_states proof.closure",
    "proof.check proof.trees",
    "proof.search",
    "bench.tutorial_loop",
    "bench.rivals",
    "bench.timing",
    "bench",
    "runs runs.replace runs.record",
    "runs.card",
    "runs.format",
    "runs.checkpoint",
    "runs.create runs.folder",
    "report report.drawing report.space report.advice",
    "report.described",
    "report.page",
    "sweep.settings",
    "sweep.cost",
    "sweep.plan sweep.places",
    "sweep.store",
    "sweep.rows sweep.outcomes",
    "sweep.table",
    "sweep.block sweep.census",
    "sweep.pool",
    "sweep.loop",
    "sweep.cluster",
    "sweep",
    "report.worked report.sweep_text report.figures",
    "report.text",
    "report.error_maps report.hidden_space report.sweep_labels",
    "report.plots report.sweep_distributions",
    "report.sweep_plots report.sweep_page",
    "lab",
    "cli.output cli.options",
    "cli.runs",
    "cli.train cli.compile cli.harden cli.import_ cli.export cli.evaluate cli.prove cli.check",
    "cli.report cli.arithmetic cli.ask cli.explain cli.automaton cli.sweep cli.table cli.plot",
    "cli.bench",
    "cli",
    "__main__",
]
PLAIN = {
    *(
        "errors",
        "watch",
        "files",
        "locks",
        "spec.machine",
        "spec.codec",
        "spec.encoding",
        "spec.task",
    ),
    *(
        "spec.rules",
        "spec.builtin",
        "spec.tables",
        "spec.automata",
        "spec.tasks",
        "spec.stage",
        "spec.recipe",
    ),
    *("learn.cost", "sweep.settings", "sweep.cost", "sweep.plan"),
    *(
        "exchange.pickles",
        "exchange.names",
        "exchange.formats",
        "nets.cells",
        "nets.equations",
        "nets.formula",
        "nets.readings",
    ),
    *(name for name in " ".join(LAYERS).split() if name.startswith("cli") and name != "cli.runs"),
}  # no NumPy when they are imported


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            # from a package, its modules are imported and not the package itself
            names.update(whole if whole <= modules() else {node.module, *whole})
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


@cache
def modules() -> set[str]:
    return {f"carrynet.{module_name(path)}" for path in PACKAGE.rglob("*.py")}


@cache
def trees() -> dict[str, ast.Module]:
    return {module_name(path): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}


def test_every_module_has_a_layer() -> None:
    assert set(trees()) - {""} == set(" ".join(LAYERS).split())


def test_imports_point_downwards() -> None:
    rank = {name: i for i, names in enumerate(LAYERS) for name in names.split()}
    for module, tree in trees().items():
        for name in imported(tree):
            target = name.removeprefix("carrynet.")
            if module and name.startswith("carrynet.") and target in rank:
                assert rank[target] < rank[module], f"{module} imports {target}"


def test_the_package_itself_is_below_all_others() -> None:
    """It offers names of every layer, and imports none until somebody asks for one."""
    tree = trees()[""]
    typing = [node for node in tree.body if isinstance(node, ast.If)]
    assert [ast.unparse(node.test) for node in typing] == ["TYPE_CHECKING"]
    tree = ast.Module([node for node in tree.body if node not in typing], [])
    assert not any(name.split(".")[0] == "carrynet" for name in imported(tree))


def test_no_other_imports_are_put_together_from_names() -> None:
    """For the order does not see them: names of the packages, and the commands."""
    users = {name for name, tree in trees().items() if "importlib.import_module" in imported(tree)}
    assert users == {"", "cli", "sweep"}
    callbacks = [command.callback for command in cli.cli.commands.values()]
    commands = {callback.__module__.removeprefix("carrynet.") for callback in callbacks if callback}
    below = {name for names in LAYERS[: LAYERS.index("cli")] for name in names.split()}
    shared = {"cli.options", "cli.output", "cli.runs"}
    assert commands == {name for name in below if name.startswith("cli.")} - shared


def test_plain_modules_are_imported_without_numpy() -> None:
    for module in PLAIN:
        body = trees()[module].body
        top = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = imported(ast.Module([*top], [])) & {"numpy", *modules()}
        assert {name.removeprefix("carrynet.") for name in names} <= PLAIN, module


def test_heavy_libraries_are_the_business_of_few_modules() -> None:
    def users(library: str) -> set[str]:
        return {
            name
            for name, tree in trees().items()
            if any(what.split(".")[0] == library for what in imported(tree))
        }

    assert users("pyarrow") == {"sweep.places", "sweep.table"}
    assert users("ray") == {"sweep.cluster"}
    assert users("onnx") == {"exchange.onnx", "exchange.onnx_nodes", "exchange.to_onnx"}
    assert users("msgpack") == {"exchange.flax"}
    assert not users("h5py")


def test_the_linter_of_layers_sees_what_is_there() -> None:
    assert "carrynet.spec.machine" in imported(trees()["spec.codec"])
    assert "numpy" in imported(trees()["nets.network"])
    assert "carrynet.engines" in imported(trees()["learn.training"])
    assert "carrynet.proof.check" in imported(trees()["lab"])  # inside a function
