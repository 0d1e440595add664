"""What every backend computes: the contract in numbers, element types, compiling, the process."""
