import math

import ase
import ase.io
import numpy as np
import pytest
import sphericart.torch
import torch
from ase.calculators.singlepoint import SinglePointCalculator

from actsearch import Placement, find_sites
from actsearch.errors import InvalidValueError, RequirementError
from actsearch.placement.placement import SiteEntry
from actsearch.task import laws
from actsearch_tasks.data.molecules import load_molecules
from actsearch_tasks.orbital import OrbitalPotential
from actsearch_tasks.orbital.harmonics import MOMENTA, solid_harmonics
from actsearch_tasks.potential import ase_calculator
from actsearch_tasks.potential.simulation import force_jumps, forces_along, stretched

SMALL = {
    "exponents": 3,
    "channels": 2,
    "hidden": 4,
    "depth": 1,
    "train_size": 40,
    "dynamics_steps": 5,
}
VARIANTS = [{}, {"orbitals": "sp", "learn_exponents": False, "cutoff": 2.0, "dtype": "float32"}]


class TestOrbital(laws.TaskLaws):
    @pytest.fixture
    def task(self):
        return OrbitalPotential

    @pytest.fixture
    def small(self):
        return SMALL

    @pytest.fixture(params=VARIANTS, ids=str)
    def variant(self, request):
        return request.param


def build(**options):
    return laws.build_task(OrbitalPotential, options)


def place(task, radial, layers, force=False):
    chosen = {
        site.name: SiteEntry(activation=radial if site.name.endswith("radial") else layers)
        for site in find_sites(task)
    }
    return Placement(sites=chosen).apply(task, force=force)


def test_harmonics_are_sphericart_s():
    vectors = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    wanted = sphericart.torch.SolidHarmonics(2).compute(vectors)
    torch.testing.assert_close(solid_harmonics(vectors), wanted, atol=1e-12, rtol=1e-12)
    assert [MOMENTA.count(momentum) for momentum in range(3)] == [1, 3, 5]


def test_the_density_is_that_of_its_formula():
    task = build(**SMALL)
    atoms = load_molecules("formaldehyde").atoms[0]
    density = task.network.density
    element = (atoms[None, :, :1] == task.elements).double()
    found = density(atoms[None], element)[0].detach()
    kinds = [task.elements.tolist().index(z) for z in atoms[:, 0].tolist()]
    exponents, weights = density.log_exponents.detach().exp().tolist(), density.weights.tolist()
    for i in range(4):
        for momentum in range(3):
            for c in range(2):
                waves = [0.0] * (2 * momentum + 1)
                for j in set(range(4)) - {i}:
                    apart = atoms[j, 1:] - atoms[i, 1:]
                    r = float(apart.norm())
                    angular = sphericart.torch.SolidHarmonics(2).compute(apart[None])[
                        0, momentum**2 :
                    ]
                    radial = sum(
                        weights[kinds[i]][kinds[j]][momentum][k][c]
                        * math.exp(-exponents[momentum][k] * r * r)
                        for k in range(3)
                    )
                    for m in range(2 * momentum + 1):
                        waves[m] += (1 - (r / 6) ** 2) ** 3 * float(angular[m]) * radial
                wanted = math.sqrt(sum(wave**2 for wave in waves) + 1e-4)
                assert float(found[i, 2 * momentum + c]) == pytest.approx(wanted, rel=1e-10)


def test_a_radial_function_must_be_bounded_and_all_must_be_smooth():
    task = build(**SMALL)
    wanted = {True: "smoothness >= 2 and bounded", False: "smoothness >= 2"}
    sites = find_sites(task, task.example_input_array)
    assert [site.requires for site in sites] == list(wanted.values())
    with pytest.raises(RequirementError, match=r"bounded is False, .* requires .* and bounded"):
        place(task, "silu", "silu")
    with pytest.raises(
        RequirementError, match="smoothness is 0, but the site requires smoothness >= 2"
    ):
        place(task, "gaussian_radial", "relu")


@pytest.mark.claim
def test_with_relu_forced_forces_jump():
    wide = SMALL | {"hidden": 32, "depth": 2}
    task = build(**wide)
    smooth, kinked = (
        force_jumps(forces_along(module.evaluated, stretched(module.lowest("val"), 1000)))[1]
        for module in (task, place(build(**wide), "gaussian_radial", "relu", force=True))
    )
    assert smooth == pytest.approx(10, rel=0.01)
    assert 0.9 < kinked < 2


@pytest.mark.claim
@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-10), ("float32", 1e-5)])
def test_turning_and_exchanging_equal_atoms_changes_nothing(dtype, bound):
    task = build(**SMALL, dtype=dtype)
    laws.trainer(2, limit_val_batches=0).fit(task)
    atoms = task.select("test")[0]
    exchanged = atoms.clone()
    exchanged[:, [2, 3], 1:] = atoms[:, [3, 2], 1:]
    with torch.no_grad():
        assert (task(exchanged) - task(atoms)).abs().max() < bound
        assert task(atoms).std() > 0.02  # eV, so that something could change
    assert task.in_use()["rotation_error"] < bound


def frames(symbols, count=20):
    """A chain on springs, with what ASE's codes say of it."""
    made = []
    for length in np.linspace(0.9, 1.2, count):
        size = length * np.arange(len(ase.Atoms(symbols)))
        molecule = ase.Atoms(symbols, size[:, None] * [[0.6, 0.0, 0.8]])
        pull = 30 * (length - 1) * np.array([0.6, 0.0, 0.8])
        forces = np.zeros((len(molecule), 3))
        forces[0], forces[-1] = pull, -pull
        energy = 15 * (len(molecule) - 1) * (length - 1) ** 2 - 10 * len(molecule)
        molecule.calc = SinglePointCalculator(molecule, energy=energy, forces=forces)
        made.append(molecule)
    return made


def test_molecules_of_several_sizes(tmp_path):
    path = str(tmp_path / "own.extxyz")
    ase.io.write(path, frames("H2") + frames("OH") + frames("HCO"))
    task = build(data=path, exponents=4, channels=4, hidden=8, depth=1, cutoff=4.0)
    first = laws.fit(task, 1)["val_force_error"]
    assert laws.fit(task, 10)["val_force_error"] < first / 2
    task.pictures(tmp_path)
    calculator = ase_calculator(task)
    one = ase.Atoms("HCO", [[0, 0, 0], [0.6, 0, 0.9], [0, 0, 2.0]], calculator=calculator)
    energy, forces = one.get_potential_energy(), one.get_forces()
    far = one.copy()
    far.translate([0, 9, 0])
    both = one + far
    both.calc = calculator
    assert both.get_potential_energy() == pytest.approx(2 * energy, abs=1e-9)
    np.testing.assert_allclose(both.get_forces(), np.concatenate([forces, forces]), atol=1e-9)
    with pytest.raises(InvalidValueError, match="among those trained, 1, 6, 8, but got 7"):
        calculator.get_potential_energy(ase.Atoms("NH", [[0, 0, 0], [0, 0, 1]]))
