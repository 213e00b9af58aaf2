//! Bad input and bad ends: each leaves a clear end and a truthful file.
