"""What people file: invoices, receipts and statements as PDF and CSV, in Chinese and English."""
