"""results/<scene>/report.html: one page that shows a finished scene, opens without network, and says what to change."""
