//! A server that lies: a whole conversation with mutated bytes ends in an error or in rows, never in a panic, and takes no memory that it did not send.
#![allow(clippy::unwrap_used)]

use tokio::io::AsyncWriteExt;

use super::{Conn, Fault, Login};

fn packet(out: &mut Vec<u8>, sequence: u8, payload: &[u8]) {
    let [a, b, c, _] = (payload.len() as u32).to_le_bytes();
    out.extend([a, b, c, sequence]);
    out.extend(payload);
}

fn column(name: &[u8], kind: u8) -> Vec<u8> {
    let mut out = b"\x03def\x01d\x01t\x01t".to_vec();
    out.push(name.len() as u8);
    out.extend(name);
    out.extend([0, 0x0c, 45, 0, 20, 0, 0, 0, kind, 0, 0, 0, 0, 0]);
    out
}

/// What a server sends: greeting, OK; the answer to a query of text; to prepare; to execute, with two rows.
fn conversation() -> Vec<u8> {
    let mut out = vec![];
    let mut greeting = vec![10];
    greeting.extend(b"9.7.4\0\x01\0\0\0abcdefgh\0\xff\xff\xff\x02\0\xff\xdf\x15");
    greeting.extend([0; 10]);
    greeting.extend(b"ijklmnopqrst\0mysql_native_password\0");
    packet(&mut out, 0, &greeting);
    packet(&mut out, 2, &[0, 0, 0, 2, 0, 0, 0]);
    packet(&mut out, 1, &[1]);
    packet(&mut out, 2, &column(b"a", 253));
    packet(&mut out, 3, b"\x03abc");
    packet(&mut out, 4, b"\xfb");
    packet(&mut out, 5, &[0xfe, 0, 0, 2, 0, 0, 0]);
    packet(&mut out, 1, &[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    packet(&mut out, 2, &column(b"n", 3));
    packet(&mut out, 1, &[1]);
    packet(&mut out, 2, &column(b"n", 3));
    packet(&mut out, 3, &[0, 0, 7, 0, 0, 0]);
    packet(&mut out, 4, &[0, 4]);
    packet(&mut out, 5, &[0xfe, 0, 0, 2, 0, 0, 0]);
    out
}

async fn talk(bytes: Vec<u8>) -> Result<(usize, usize), Fault> {
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    theirs.write_all(&bytes).await?;
    // What we say is not read; the end of their bytes is the end of the stream.
    let (mut read, mut write) = tokio::io::split(theirs);
    write.shutdown().await?;
    let sink = tokio::spawn(async move { tokio::io::copy(&mut read, &mut tokio::io::sink()).await });
    let login = Login { user: "u", password: Some("p"), database: None, program: "test", tls: None, local: false };
    let mut conn = Conn::login(Box::new(ours), &login).await?;
    let texts = conn.query("SELECT a").await?.len();
    let statement = conn.prepare("SELECT n").await?;
    conn.execute(&statement, &[]).await?;
    let mut rows = 0;
    loop {
        while conn.advance()? {
            match conn.row()? {
                Some(_) => rows += 1,
                None => {
                    drop(conn);
                    let _ = sink.await;
                    return Ok((texts, rows));
                }
            }
        }
        assert!(conn.memory() < 64 << 20, "memory that nobody sent");
        conn.fill().await?;
    }
}

#[tokio::test]
async fn no_conversation_panics() {
    let good = conversation();
    assert_eq!(talk(good.clone()).await.unwrap(), (2, 2));
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    let mut refused = 0;
    for cut in 0..good.len() {
        assert!(talk(good[..cut].to_vec()).await.is_err(), "a short answer is no answer: {cut}");
    }
    for _ in 0..1_500 {
        let mut bytes = good.clone();
        for _ in 0..=(random() % 3) {
            let at = random() % bytes.len();
            match random() % 3 {
                0 => bytes[at] = random() as u8,
                1 => bytes.insert(at, random() as u8),
                _ => {
                    bytes.remove(at);
                }
            }
        }
        refused += usize::from(talk(bytes).await.is_err());
    }
    assert!(refused > 500, "{refused}");
}
