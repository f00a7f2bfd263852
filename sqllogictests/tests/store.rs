//! The catalog in an object store that several servers share: S3's protocol, and a folder.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use fjord_harness::{FjordOptions, FjordServer, S3Server};
use fjord_sqllogictests::world::{code, eventually, number};

const VIEWS: &str = "SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                     WHERE c.relkind = 'v' AND n.nspname = 'public'";

fn on_s3(s3: &S3Server) -> FjordServer {
    let env = [
        ("AWS_ENDPOINT", s3.endpoint()),
        ("AWS_REGION", s3.region().to_string()),
        ("AWS_ACCESS_KEY_ID", s3.access_key_id().to_string()),
        ("AWS_SECRET_ACCESS_KEY", s3.secret_access_key().to_string()),
        ("AWS_ALLOW_HTTP", "true".to_string()),
    ];
    let env = env.into_iter().map(|(k, v)| (k.to_string(), v)).collect();
    let args = ["--store", "s3://state/fjord"].map(str::to_string).to_vec();
    FjordServer::with(FjordOptions { env, args, ..FjordOptions::default() }).unwrap()
}

/// Two servers change one catalog at the same time: nothing that was answered is lost, of one name there is one, and each sees what the other did.
async fn race(a: &mut FjordServer, b: &FjordServer) {
    let (x, y) = (a.client().await.unwrap(), b.client().await.unwrap());
    let mine = |client: tokio_postgres::Client, who: &'static str| async move {
        let mut won = vec![];
        for i in 0..10 {
            client.simple_query(&format!("CREATE VIEW {who}{i} AS SELECT {i} AS i")).await.unwrap();
            match client.simple_query(&format!("CREATE VIEW both{i} AS SELECT '{who}' AS winner")).await {
                Ok(_) => won.push(i),
                Err(e) => assert_eq!(code(&e), "42P07"),
            }
        }
        (client, won)
    };
    let ((x, first), (y, second)) = tokio::join!(mine(x, "a"), mine(y, "b"));
    let mut all: Vec<i32> = first.iter().chain(&second).copied().collect();
    all.sort_unstable();
    assert_eq!(all, (0..10).collect::<Vec<_>>(), "each name has one winner: {first:?} {second:?}");
    // Without a statement that changes something, each learns of the other's last commit by looking.
    for client in [&x, &y] {
        eventually("both see all views", || async { Ok(number(client, VIEWS).await? == 30) }).await.unwrap();
        for i in 0..10 {
            let winner: String = client.query_one(&format!("SELECT winner FROM both{i}"), &[]).await.unwrap().get(0);
            assert_eq!(winner, if first.contains(&i) { "a" } else { "b" });
        }
    }
    x.simple_query("DROP VIEW a0").await.unwrap();
    eventually("the other forgets it", || async { Ok(number(&y, VIEWS).await? == 29) }).await.unwrap();
    // A server that starts reads what is there, after a kill too.
    a.kill9();
    a.start_again().unwrap();
    assert_eq!(number(&a.client().await.unwrap(), VIEWS).await.unwrap(), 29);
}

#[tokio::test]
async fn two_servers_share_a_catalog_on_s3() {
    let s3 = S3Server::start().unwrap();
    s3.create_bucket("state").unwrap();
    let mut a = on_s3(&s3);
    let b = on_s3(&s3);
    race(&mut a, &b).await;
}

#[tokio::test]
async fn two_servers_share_a_catalog_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let start = || FjordServer::with(FjordOptions { data_dir: Some(folder.path().to_path_buf()), ..FjordOptions::default() }).unwrap();
    let mut a = start();
    let b = start();
    race(&mut a, &b).await;
}
