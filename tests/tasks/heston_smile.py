"""Made ``tasks/data/heston.csv`` with QuantLib 1.44, and Black-Scholes prices of a test.

Parameters of the variance: start 0.0625, mean reversion 2, mean 0.0625, volatility 0.6,
correlation -0.7.
"""

from pathlib import Path

SPOT, RATE = 100.0, 0.03
MONTHS = (3, 6, 12, 24)


def main():
    import QuantLib as ql

    today = ql.Date(1, 1, 2026)
    ql.Settings.instance().evaluationDate = today
    days = ql.Actual365Fixed()
    spot = ql.QuoteHandle(ql.SimpleQuote(SPOT))
    rate = ql.YieldTermStructureHandle(ql.FlatForward(today, RATE, days))
    none = ql.YieldTermStructureHandle(ql.FlatForward(today, 0.0, days))
    process = ql.HestonProcess(rate, none, spot, 0.0625, 2.0, 0.0625, 0.6, -0.7)
    engine = ql.AnalyticHestonEngine(ql.HestonModel(process), 1e-12, 100_000)

    def price(strike, date, engine):
        payoff = ql.PlainVanillaPayoff(ql.Option.Call, strike)
        option = ql.VanillaOption(payoff, ql.EuropeanExercise(date))
        option.setPricingEngine(engine)
        return option.NPV()

    with Path("tasks/data/heston.csv").open("w") as file:
        file.write("strike,maturity,price,spot,rate,dividend\n")
        for months in MONTHS:
            date = today + round(365 * months / 12)
            years = days.yearFraction(today, date)
            for strike in range(50, 165, 4 if months < 12 else 5):
                value = price(float(strike), date, engine)
                file.write(f"{strike},{years:.10f},{value:.10f},{SPOT:g},{RATE:g},0\n")
    volatility = ql.BlackVolTermStructureHandle(
        ql.BlackConstantVol(today, ql.NullCalendar(), 0.25, days)
    )
    process = ql.BlackScholesMertonProcess(spot, none, rate, volatility)
    date = today + 365
    for strike in (60.0, 90.0, 100.0, 110.0, 150.0):
        print(f"    ({strike}, {price(strike, date, ql.AnalyticEuropeanEngine(process)):.13f}),")


if __name__ == "__main__":
    main()
