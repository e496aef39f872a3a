"""The list of mutants fits the code; ``make mutants`` runs it."""

from .mutants import load


def test_every_mutant_fits_the_code_and_names_tests_that_exist():
    mutants = load()
    assert [problem for mutant in mutants for problem in mutant.problems()] == []
    assert len({(mutant.path, mutant.old, mutant.new) for mutant in mutants}) == len(mutants)
    assert len(mutants) >= 40
