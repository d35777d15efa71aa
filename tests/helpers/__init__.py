"""What several tests share: tables of calls and cases, backends to test on, comparisons."""
