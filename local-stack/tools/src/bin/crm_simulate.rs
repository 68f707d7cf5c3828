//! Shows what a cluster would do.

fn main() -> std::process::ExitCode {
    tools::crm_simulate(std::env::args().skip(1))
}
