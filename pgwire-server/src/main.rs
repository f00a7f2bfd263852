//! The `fjord` command. All of it is in `fjord_server::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    fjord_server::cli::main()
}
