//! The `guildhall` binary: parse, load the configuration, run.

mod bench;
mod cli;
mod migrate;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
