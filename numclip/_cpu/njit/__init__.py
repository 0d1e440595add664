"""numclip inside the compiled code of its callers."""
