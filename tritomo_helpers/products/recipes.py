"""The products of the book, each next to the chapters that use it."""
