//! The same requests as in `smuggling`, with a real HAProxy as the second reader.

use crate::harness::readers::Reader;
use crate::smuggling::second::understands_what_was_meant;

#[tokio::test]
#[ignore = "needs haproxy"]
async fn haproxy_understands_exactly_the_requests_that_were_meant() {
    understands_what_was_meant(Reader::haproxy().await).await;
}
