//! The same requests as in `smuggling`, with a real nginx as the second reader.

use crate::harness::readers::Reader;
use crate::smuggling::second::understands_what_was_meant;

#[tokio::test]
#[ignore = "needs nginx"]
async fn nginx_understands_exactly_the_requests_that_were_meant() {
    understands_what_was_meant(Reader::nginx().await).await;
}
