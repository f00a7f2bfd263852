//! One test a feature folder, so that they run side by side.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use fjord_sqllogictests::runner;

macro_rules! features {
    ($($name:ident),* $(,)?) => {
        const LISTED: &[&str] = &[$(stringify!($name)),*];
        $(
            #[tokio::test]
            async fn $name() {
                if let Err(e) = runner::feature(stringify!($name)).await {
                    panic!("{e}");
                }
            }
        )*
    };
}

features!(connectors, errors, files, joins, pushdown, select, system, transactions, types, views);

#[test]
fn every_folder_has_its_test() {
    assert_eq!(runner::features().unwrap(), LISTED);
}
