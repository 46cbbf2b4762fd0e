from headgate.usage import Price, Usage, cost, dollars

PRICE = Price(
    input=3_000_000, output=15_000_000, cache_read=300_000, cache_write_5m=3_750_000, cache_write_1h=6_000_000
)


def test_each_class_is_billed_once():
    usage = Usage(input_total=25, cache_read=8, cache_write_5m=3, cache_write_1h=2, output_total=16, reasoning=5)
    assert usage.input_fresh == 12
    assert cost(usage, PRICE) == 12 * 3_000_000 + 8 * 300_000 + 3 * 3_750_000 + 2 * 6_000_000 + 16 * 15_000_000


def test_long_context_switches_on_the_input_total_and_bills_all_of_it():
    price = Price(input=10, output=20, web_search=7, tiers=((100, Price(input=30, output=40, cache_read=3)),))
    assert cost(Usage(input_total=100, output_total=1), price) == 100 * 10 + 20
    assert cost(Usage(input_total=101, cache_read=1, output_total=1, web_searches=2), price) == 100 * 30 + 3 + 40 + 14


def test_audio_has_its_own_price_where_there_is_one():
    price = Price(input=1, output=2, audio_input=100, audio_output=200)
    assert cost(Usage(input_total=10, audio_input=4, output_total=5, audio_output=3), price) == 6 + 400 + 4 + 600


def test_money_is_shown_as_the_nearest_double():
    assert dollars(123_000_000) == 0.000123
    assert dollars(1) == 1e-12
