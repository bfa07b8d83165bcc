"""What every paper that Kapok draws needs: the language it is written in, and the typefaces it is set in."""
