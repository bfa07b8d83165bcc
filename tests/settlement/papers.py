"""The legal entity of the tests of papers."""

ENTITY = {
    "operator_legal_name": "木棉数据（广西）有限公司",
    "operator_tax_id": "91450100MA5TEST00X",
    "operator_address": "南宁市青秀区民族大道 1 号",
    "invoice_prefix": "KPK",
    "papers_time_zone": "Asia/Shanghai",
}
