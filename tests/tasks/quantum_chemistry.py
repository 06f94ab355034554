"""Made ``tasks/data/formaldehyde.npz`` with PySCF 2.14, and extended XYZ of other molecules.

    python quantum_chemistry.py formaldehyde b3lyp 400 tasks/data/formaldehyde.npz
    python quantum_chemistry.py methanol hf 120 methanol.extxyz

Geometries are displaced along the normal modes of the optimum, as a classical harmonic molecule at
a temperature that is drawn from 300 to 2,500 K. In eV, angstrom, unified atomic mass units, cm⁻¹.
"""

import sys
from pathlib import Path

import numpy as np

BASIS = "6-31g*"
HARTREE, BOHR = 27.211386245988, 0.529177210903
BOLTZMANN = 8.617333262e-5  # eV / K
WAVE_NUMBER = 521.470898  # cm⁻¹ of one sqrt(eV / (angstrom² u))
START = {
    "water": "O 0 0 0.119; H 0 0.763 -0.477; H 0 -0.763 -0.477",
    "formaldehyde": "C 0 0 -0.53; O 0 0 0.67; H 0 0.94 -1.12; H 0 -0.94 -1.12",
    "methanol": (
        "C -0.047 0.665 0; O -0.047 -0.758 0; H -1.093 0.969 0;"
        " H 0.438 1.080 0.891; H 0.438 1.080 -0.891; H 0.861 -1.057 0"
    ),
}


def solver(molecule, method):
    from pyscf import gto, scf

    atoms = gto.M(atom=START[molecule], basis=BASIS, verbose=0)

    def solve(positions):
        at = atoms.set_geom_(positions, unit="Angstrom", inplace=False)
        field = scf.RHF(at) if method == "hf" else at.RKS(xc=method)
        field.conv_tol = 1e-10
        field.kernel()
        assert field.converged
        return field

    return atoms, solve


def energy_and_forces(field):
    gradient = field.nuc_grad_method()
    gradient.grid_response = True
    return field.e_tot * HARTREE, -gradient.kernel() * HARTREE / BOHR


def optimise(atoms, solve):
    from scipy.optimize import minimize

    def value_and_slope(x):
        energy, forces = energy_and_forces(solve(x.reshape(-1, 3)))
        return energy, -forces.ravel()

    start = atoms.atom_coords(unit="Angstrom").ravel()
    found = minimize(value_and_slope, start, jac=True, method="BFGS", options={"gtol": 2e-4})
    assert np.abs(found.jac).max() < 1e-3, found.message
    return found.x.reshape(-1, 3)


def main():
    molecule, method, count, path = sys.argv[1:]
    atoms, solve = solver(molecule, method)
    optimum = optimise(atoms, solve)
    masses = atoms.atom_mass_list(isotope_avg=True)
    size = 3 * len(masses)
    blocks = solve(optimum).Hessian().kernel() * HARTREE / BOHR**2
    hessian = blocks.transpose(0, 2, 1, 3).reshape(size, size)
    root = np.repeat(np.sqrt(masses), 3)
    values, modes = np.linalg.eigh(hessian / np.outer(root, root))
    values, modes = values[6:], modes[:, 6:]  # the first six move or turn the whole
    frequencies = WAVE_NUMBER * np.sqrt(values)
    print("frequencies", frequencies.round(1), flush=True)
    random = np.random.default_rng(0)
    rows = []
    for number in range(int(count)):
        temperature = random.uniform(300, 2500)
        size = np.sqrt(BOLTZMANN * temperature / values) * random.normal(size=len(values))
        positions = optimum + (modes @ size / root).reshape(-1, 3)
        rows.append((positions, *energy_and_forces(solve(positions)), temperature))
        if number % 20 == 0:
            print(number, rows[-1][1], flush=True)
    positions, energies, forces, temperatures = map(np.array, zip(*rows, strict=True))
    symbols = [atoms.atom_symbol(i) for i in range(atoms.natm)]
    if path.endswith(".extxyz"):
        write_extended_xyz(path, symbols, positions, energies, forces)
        return
    np.savez_compressed(
        path,
        numbers=atoms.atom_charges(),
        positions=positions,
        energies=energies,
        forces=forces,
        optimum=optimum,
        hessian=hessian,
        frequencies=frequencies,
        masses=masses,
        temperatures=temperatures,
        method=f"{method}/{BASIS}",
    )


def write_extended_xyz(path, symbols, positions, energies, forces):
    with Path(path).open("w") as file:
        for at, energy, pulls in zip(positions, energies, forces, strict=True):
            properties = "Properties=species:S:1:pos:R:3:forces:R:3"
            file.write(f'{len(symbols)}\n{properties} energy={energy:.10f} pbc="F F F"\n')
            for symbol, row in zip(symbols, np.hstack([at, pulls]), strict=True):
                file.write(" ".join([symbol, *(f"{value:.10f}" for value in row)]) + "\n")


if __name__ == "__main__":
    main()
