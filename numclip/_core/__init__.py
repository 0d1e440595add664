"""The parts that all backends share: the contract in numbers, element types, compiling, the process."""
