"""The page of the datasets says what the manifest says."""

from tools.book.data_page import data_page
from tritomo_helpers import datasets


def test_the_page_names_every_dataset_with_its_source_license_citation_and_checksum():
    page = data_page()
    for entry in datasets.manifest().values():
        assert f"`{entry.name}`" in page
        if entry.generated is None:
            start = page.index(f"### {entry.title}")
            section = page[start : page.find("\n### ", start + 1)]
            for text in (entry.source, entry.license, entry.citation, entry.read, *entry.chapters):
                assert text in section
            for file in entry.files:
                assert file.file in section
                assert file.checksum[7:19] in section
