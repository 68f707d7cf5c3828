//! The local stack's control socket and the guard's: words shared by agent, node, guard and tools.
