"""Made the constants of HARK in ``test_savings.py``, with econ-ark 0.17.2 and Python 3.11."""

import numpy as np


def main():
    from HARK.ConsumptionSaving.ConsIndShockModel import IndShockConsumerType
    from HARK.distributions import DiscreteDistributionLabeled

    ages = 10
    agent = IndShockConsumerType(
        T_cycle=ages, cycles=1, CRRA=2.0, Rfree=[1.03] * ages, DiscFac=0.96,
        LivPrb=[1.0] * ages, PermGroFac=[1.0] * ages, BoroCnstArt=0.0,
        PermShkStd=[0.0] * ages, TranShkStd=[0.2] * ages, PermShkCount=1, TranShkCount=7,
        UnempPrb=0.0, IncUnemp=0.0, aXtraMin=1e-4, aXtraMax=30.0, aXtraCount=400, aXtraNestFac=3,
    )  # fmt: skip
    x, w = np.polynomial.hermite_e.hermegauss(7)
    shocks, shares = np.exp(0.2 * x), w / w.sum()
    shocks /= shares @ shocks
    income = DiscreteDistributionLabeled(
        shares, np.array([np.ones(7), shocks]), var_names=["PermShk", "TranShk"]
    )
    agent.IncShkDstn = [income] * ages
    agent.solve_economy()
    for m in (0.3, 0.7, 0.85, 0.9, 1.0, 1.2, 1.6, 2.5, 4.0, 6.0):
        print(f"    ({m}, {float(agent.solution[0].cFunc(m)):.7f}),")


if __name__ == "__main__":
    main()
