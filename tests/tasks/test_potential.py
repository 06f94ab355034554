import sys
from importlib.resources import files

import ase
import ase.io
import numpy as np
import pytest
import torch
from ase.calculators.fd import calculate_numerical_forces
from ase.calculators.singlepoint import SinglePointCalculator
from ase.optimize import BFGS
from ase.vibrations import Vibrations

from actsearch import Placement, find_sites
from actsearch.errors import InvalidValueError, RequirementError, TaskError
from actsearch.measures.functional.partial_derivatives import partial_derivatives
from actsearch.task import laws
from actsearch_tasks.data.molecules import load_molecules
from actsearch_tasks.potential import Potential, ase_calculator
from actsearch_tasks.potential.simulation import (
    energy_in_dynamics,
    force_jumps,
    forces_along,
    hessian,
    stretched,
    vibrations,
)

SMALL = {"hidden": 8, "depth": 1, "train_size": 50, "dynamics_steps": 10}
VARIANTS = [{}, {"descriptor": "coordinates", "dtype": "float32", "force_weight": 0.0}]


class TestPotential(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return Potential

    @pytest.fixture
    def small(self):
        return SMALL

    @pytest.fixture(params=VARIANTS, ids=str)
    def variant(self, request):
        return request.param


def build_with(activation, seed=0, force=False, **options):
    task = laws.build_task(Potential, options, seed)
    if activation != "tanh":
        Placement.uniform(activation, find_sites(task)).apply(task, force=force)
    return task


def test_relu_and_elu_are_refused_for_the_derivatives_that_forces_need():
    task = laws.build_task(Potential, SMALL)
    for name, smoothness in (("relu", 0), ("elu", 1)):
        message = f"smoothness is {smoothness}, but the site requires smoothness >= 2"
        with pytest.raises(RequirementError, match=message):
            Placement.uniform(name, find_sites(task)).apply(task)


@pytest.mark.claim
@pytest.mark.parametrize("name", ["tanh", "silu", "softplus", "relu"])
def test_forces_are_smooth_or_jump_as_the_activation_is(name):
    task = build_with(name, force=True)
    atoms = task.lowest("val")
    _, ratio = force_jumps(forces_along(task.evaluated, stretched(atoms, 1000)))
    network = task.network
    features = network.descriptor(task.select("val")[0])[:, 0]
    with torch.no_grad():
        second = partial_derivatives(lambda f: network.of_features(f[:, None]), features, 2)[2]
    if name == "relu":
        assert 0.9 < ratio < 2
        assert not second.any()
    else:
        assert ratio == pytest.approx(10, rel=0.01)
        assert second.abs().mean() > 1e-4


def test_the_frequencies_of_the_reference_hessian_are_the_reference_s():
    with np.load(files("actsearch_tasks") / "data" / "formaldehyde.npz") as file:
        arrays = [torch.from_numpy(file[key]) for key in ("hessian", "optimum", "masses")]
        wanted = torch.from_numpy(file["frequencies"])
    torch.testing.assert_close(vibrations(*arrays), wanted, atol=1.0, rtol=0)


def spring(atoms):
    """Two atoms at an equilibrium distance of 1 angstrom, 30 eV / angstrom²."""
    apart = atoms[:, 1, 1:] - atoms[:, 0, 1:]
    length = apart.norm(dim=1)
    pull = (30 * (length - 1) / length)[:, None] * apart
    return 15 * (length - 1) ** 2, torch.stack([pull, -pull], 1)


def test_a_spring_vibrates_at_its_frequency_and_keeps_its_energy():
    atoms = torch.tensor([[1.0, 0, 0, 0], [8.0, 0.6, 0.8, 0]], dtype=torch.float64)
    masses = torch.tensor([1.0, 16.0], dtype=torch.float64)
    found = vibrations(hessian(spring, atoms), atoms[:, 1:], masses)
    wanted = 521.470898 * (30 * (1 + 1 / 16)) ** 0.5  # one mode: the others move or turn it
    assert found.tolist() == pytest.approx([wanted], rel=1e-4)
    spreads = [
        float(energy_in_dynamics(spring, atoms, masses, round(100 / step), step, 300.0).std())
        for step in (0.5, 0.25)
    ]
    assert spreads[0] < 1e-3
    assert spreads[0] / spreads[1] == pytest.approx(4, rel=0.1)  # Verlet's second order


def test_the_energy_is_the_same_for_equal_atoms_exchanged_and_turned():
    atoms = load_molecules("formaldehyde").atoms[:5]
    exchanged = atoms.clone()
    exchanged[:, [2, 3], 1:] = atoms[:, [3, 2], 1:]
    task, placed = (build_with("tanh", descriptor=d) for d in ("distances", "coordinates"))
    torch.testing.assert_close(task(exchanged), task(atoms))
    assert not torch.allclose(placed(exchanged), placed(atoms))
    assert task.in_use()["rotation_error"] < 1e-12
    assert placed.in_use()["rotation_error"] > 1e-2


@pytest.mark.claim
def test_a_trained_one_relaxes_and_vibrates_in_ase(tmp_path):
    task = build_with("silu")
    laws.trainer(25, limit_val_batches=0).fit(task)
    reference = task.reference
    kinds, start = reference.atoms[:, 0], reference.atoms[:, 1:].numpy()
    shaken = start + 0.03 * np.random.default_rng(0).normal(size=(4, 3))
    atoms = ase.Atoms(kinds.int().numpy(), shaken)
    atoms.calc = ase_calculator(task)
    numerical = calculate_numerical_forces(atoms, eps=1e-4)
    np.testing.assert_allclose(atoms.get_forces(), numerical, atol=1e-5)
    assert BFGS(atoms, logfile=None).run(fmax=0.005, steps=100)
    molecules = load_molecules("formaldehyde")
    assert atoms.get_potential_energy() == pytest.approx(float(molecules.energies.min()), abs=0.1)
    lengths = [np.linalg.norm(x[0] - x[1]) for x in (atoms.positions, start)]
    assert lengths[0] == pytest.approx(lengths[1], abs=0.01)
    vibration = Vibrations(atoms, name=tmp_path / "vibrations")
    vibration.run()
    found = vibration.get_frequencies()[6:]
    np.testing.assert_allclose(found.imag, 0)
    np.testing.assert_allclose(found.real, reference.frequencies.numpy(), rtol=0.05)


def frames(count=20, symbols="H2", **changes):
    """Two atoms on a spring, with what ASE's codes say of them."""
    made = []
    for length in np.linspace(0.6, 0.9, count):
        molecule = ase.Atoms(symbols, [[0, 0, 0], [0, 0, length]])
        pull = 30 * (length - 0.74)
        results = {"energy": 15 * (length - 0.74) ** 2, "forces": [[0, 0, pull], [0, 0, -pull]]}
        molecule.calc = SinglePointCalculator(molecule, **results | changes)
        made.append(molecule)
    return made


def test_molecules_of_ones_own_in_their_units(tmp_path):
    path = str(tmp_path / "own.extxyz")
    ase.io.write(path, frames())
    factors = {
        "eV/angstrom": (1, 1),
        "hartree/bohr": (27.2114, 51.4221),
        "hartree/angstrom": (27.2114, 27.2114),
        "kcal/mol/angstrom": (0.0433641, 0.0433641),
    }
    plain = load_molecules(path)
    assert plain.masses == {1: pytest.approx(1.008)}
    assert plain.vibrations is None
    for units, (energy, force) in factors.items():
        found = load_molecules(path, units)
        torch.testing.assert_close(found.energies, energy * plain.energies, rtol=1e-5, atol=0)
        torch.testing.assert_close(found.forces, force * plain.forces, rtol=1e-5, atol=0)
    task = build_with("silu", data=path, hidden=16, batch_size=12, split_seed=1)
    assert laws.fit(task, 10)["val_force_error"] < 100  # of up to 4,800
    assert "frequency_error" not in task.in_use()
    task.pictures(tmp_path)
    with pytest.raises(InvalidValueError, match=r"in one order, 1, 1, but got 8, 1"):
        ase_calculator(task).get_potential_energy(ase.Atoms("OH", [[0, 0, 0], [0, 0, 1]]))


def test_files_that_do_not_fit_get_one_line(tmp_path):
    bare, close, periodic = frames(), frames(), frames()
    bare[2].calc = None
    bare[2].info["REF_energy"] = 1.0
    close[1].positions *= 0.1
    periodic[0].cell, periodic[0].pbc = [9, 9, 9], True
    wrong = {
        "frame 3 of .* must have energy, but got REF_energy": bare,
        "frame 2 of .* each 0.3 angstrom from any other, but got 0.0616. Check the unit": close,
        "frame 1 of .* must be a molecule, but has periodic boundaries": periodic,
        "energy of frame 1 of .* must be finite, but got NaN": frames(energy=np.nan),
        "one molecule in one order, 1, 1, but got 8, 1. Or take": frames() + frames(1, "OH"),
        "train_size must be at most 12, the rows that are not held out, but got 13": frames(),
    }
    for message, made in wrong.items():
        ase.io.write(tmp_path / "own.extxyz", made)
        with pytest.raises(InvalidValueError, match=message) as caught:
            Potential(
                data=str(tmp_path / "own.extxyz"), train_size=13 if "train" in message else None
            )
        assert "\n" not in str(caught.value)
    (tmp_path / "own.extxyz").write_text("no molecule")
    with pytest.raises(InvalidValueError, match="must be a file in extended XYZ, but reading it"):
        Potential(data=str(tmp_path / "own.extxyz"))


def test_without_ase_the_molecule_that_comes_along_trains_and_the_rest_says_what_is_missing(
    monkeypatch,
):
    for name in ("ase.io", "ase.calculators.calculator"):
        monkeypatch.setitem(sys.modules, name, None)
    task = Potential(**SMALL)
    with pytest.raises(TaskError, match=r"a calculator needs ase, .*actsearch\[chemistry\]"):
        ase_calculator(task)
    with pytest.raises(TaskError, match=r"reading own\.extxyz needs ase, which is not"):
        Potential(data="own.extxyz")
