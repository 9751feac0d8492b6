"""An extension in C++: exceptions, streams, threads, std::filesystem; needs libstdc++."""
