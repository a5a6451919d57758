"""What several kinds of tests share: builders, the cluster's command line, a raw API client. No test lives here."""
